"""Files in, files out: sample photographs, sub-images, LMDBs and checks, behind the console command stea-data."""
