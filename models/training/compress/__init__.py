"""Smaller and faster files of a trained classifier, and what each of them costs."""
