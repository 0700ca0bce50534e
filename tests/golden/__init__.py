"""Golden vectors: contributions that the original implementation of DeepLIFT computed. See README.md."""
