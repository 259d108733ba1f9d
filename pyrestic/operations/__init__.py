"""One verb per module: repository, inputs, options and reporter in, result out; nothing is printed."""
