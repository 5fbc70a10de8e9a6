"""What tests are made with: an index, a clock, a mirror to look at."""
