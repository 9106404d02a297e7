"""What a data set is made of: its images listed, labelled, read, drawn into batches."""
