"""What a token must allow, in the form of OAuth 2."""

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
