// Package relyingparty is a small website where a person registers and signs in
// with a browser, and sees what a relying party finds in the answer. It keeps all in
// memory, needs no network, and its page needs nothing from elsewhere.
//
// A [Server] is an [net/http.Handler]. Its API is JSON; every request is a POST with
// Content-Type application/json, but for the list:
//
//	POST /api/registration/options    RegistrationChoice -> PublicKeyCredentialCreationOptionsJSON
//	POST /api/registration            RegistrationResponseJSON -> Ceremony
//	POST /api/authentication/options  AuthenticationChoice -> PublicKeyCredentialRequestOptionsJSON
//	POST /api/authentication          AuthenticationResponseJSON -> Ceremony
//	GET  /api/credentials             -> [Credential]
//	POST /api/reset                   {} -> 204
//
// The options are for one answer, which is known by its challenge. An answer that is
// judged has the status 200, whether it is accepted or not: member verified says that.
// What cannot be judged has another status and the member error.
package relyingparty
