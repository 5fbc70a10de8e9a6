"""The pages for people who open the server in a browser."""
