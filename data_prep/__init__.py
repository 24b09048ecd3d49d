"""Files in, files out: photographs become sub-images, LMDBs and benchmark sets."""
