"""For packages that extend pyrestic: tests that say whether they keep its contracts. They need pytest."""
