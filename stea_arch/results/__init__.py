"""What becomes of the numbers and images of a test: means, tables, pictures side by side."""
