"""Live experiments: a challenger on real traffic, taken back or proved; traffic as tasks."""
