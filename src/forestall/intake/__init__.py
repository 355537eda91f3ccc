"""Accept, make durable, acknowledge; then decode whole batches into columns and route them."""
