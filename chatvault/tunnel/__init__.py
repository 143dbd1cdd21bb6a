"""The reverse tunnel: an SSH link to the relay whose channels are served inside this process."""
