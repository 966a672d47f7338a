"""What becomes of the jobs that timers start."""
