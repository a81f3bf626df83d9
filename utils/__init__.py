"""The small shared module of the tutorial series; every notebook imports from it."""
