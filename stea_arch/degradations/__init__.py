"""Degradations: pure functions of (image, parameters); sampling the parameters is apart and seeded."""
