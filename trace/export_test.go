package trace

// ReadAtMost is Read with a limit that a test reaches soon.
var ReadAtMost = read
