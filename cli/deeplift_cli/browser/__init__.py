"""A genome browser page with the letters of bigWigs, and the files by which other browsers show them."""
