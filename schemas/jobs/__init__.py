"""Jobs: the record, its states and events, and the requests that create one."""
