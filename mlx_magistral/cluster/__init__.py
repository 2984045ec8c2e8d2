"""One model over several processes, on one Mac or many: rank 0 leads and the others follow."""
