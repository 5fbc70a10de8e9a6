"""What projects need: requirements, markers, the choice of versions, and resolutions; pure."""
