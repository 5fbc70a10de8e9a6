"""What to mirror: functions from names and pages to fewer of them."""
