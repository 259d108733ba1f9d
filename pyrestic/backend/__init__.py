"""Places that hold named files; knows handles and bytes, not what they mean."""
