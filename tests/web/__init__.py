"""Tests of pyrestic.web."""
