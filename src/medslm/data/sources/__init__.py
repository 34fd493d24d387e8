"""Where rows come from: a package, the Hub, or one's own files."""
