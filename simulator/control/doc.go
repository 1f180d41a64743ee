// Package control steers a simulated key over HTTP:
//
//	handler := control.New(control.Config{Key: key, Touch: plan, Clock: clock, Token: token})
//	err := control.Serve(ctx, "127.0.0.1:8700", false, handler, nil)
//
// Every request but those of the dialects below carries the token as
// "Authorization: Bearer TOKEN". Bodies and answers are JSON; an answer without
// content has status 204.
//
//	GET  /v1/touch                what usually happens, and the requests that wait
//	PUT  /v1/touch                {"usual": "auto"}: see simulator.ParseTouch
//	POST /v1/touch/next           {"touches": ["never", "250"]}: the next requests
//	POST /v1/touch/answer         {"answer": "touched"}, "long", "declined" or "none": the request that waits
//	PUT  /v1/finger               {"finger": "thumb", "quality": 0}: whose finger comes; "" is nobody's
//	POST /v1/finger/next          {"samples": [{"finger": "thumb", "quality": 3}]}
//	GET  /v1/power                {"on": true}
//	PUT  /v1/power                {"on": false}
//	POST /v1/power/cycle
//	GET  /v1/clock                {"now": "..."}
//	POST /v1/clock/advance        {"ms": 30000}
//	GET  /v1/faults               those still to come
//	POST /v1/faults               a simulator.Fault
//	DELETE /v1/faults
//	GET  /v1/counters             simulator.Counts
//	DELETE /v1/counters
//	GET  /v1/snapshot             the state as bytes
//	PUT  /v1/snapshot
//	GET  /v1/profile              the profile in JSON
//	PUT  /v1/profile              {"name": "ctap-2.0"}, or a profile in YAML or JSON
//	PUT  /v1/reset-window         {"on": false}
//
// Two dialects of other programs can be spoken too, if that is asked for, since
// neither of them carries a token: that of test benches ([Config.Bench]),
//
//	GET / and /usbN/touch/on, /usbN/touch/off, /usbN/power/on, /usbN/power/off
//
// and that of the certification tool ([Config.Certification]):
//
//	POST /conformance/userpresence, /conformance/powercycle, /conformance/results
package control
