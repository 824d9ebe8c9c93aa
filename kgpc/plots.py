"""Figures for the notebooks: drawn from what they are given, colour-blind safe, with labelled axes."""
