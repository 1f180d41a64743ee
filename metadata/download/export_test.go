package download

// Redirect is for the tests, which have no server with a certificate that is good.
var Redirect = redirect
