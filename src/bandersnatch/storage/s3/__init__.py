"""A mirror in a bucket of an object store with the S3 protocol; needs the extra ``s3``."""
