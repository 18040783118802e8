"""Tables of numbers and a target: from files, from frames, or bundled with scikit-learn."""
