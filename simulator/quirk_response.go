package simulator

import (
	"math"
	"slices"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// distort changes the answer to a request.
func (q *Quirks) distort(msg, answer []byte) []byte {
	if len(answer) == 0 {
		return answer
	}
	answer = q.restate(msg, answer)
	if len(answer) == 1 || answer[0] != byte(ctap2.StatusOK) {
		return answer
	}
	body := answer[1:]
	if q.changesBodies() {
		body = q.rewrite(msg, body)
	}
	if q.UnsortedMaps {
		body = backwards(body)
	}
	return append([]byte{byte(ctap2.StatusOK)}, body...)
}

// restate changes the status.
func (q *Quirks) restate(msg, answer []byte) []byte {
	status := ctap2.Status(answer[0])
	isBegin := ctap2.Command(msg[0]) == ctap2.CommandCredentialManagement && subCommand(msg) == enumerateRPsBegin
	if isBegin && status == ctap2.ErrNoCredentials {
		switch q.NoRPs {
		case EmptyBody:
			return []byte{byte(ctap2.StatusOK)}
		case EmptyTotal:
			return []byte{byte(ctap2.StatusOK), 0xa1, 0x05, 0x00} // {totalRPs: 0}
		}
	}
	for _, s := range q.Statuses {
		if s.From != nil && *s.From == status && s.concerns(msg) {
			return []byte{byte(s.To)}
		}
	}
	return answer
}

// changesBodies reports whether rewrite would do anything.
func (q *Quirks) changesBodies() bool {
	return q.GetInfo != nil || q.OmitMembers != nil || q.CutNames > 0 || q.OmitNames || q.OmitUser || q.OmitCredential ||
		q.OmitPowerCycleState || q.CorruptLargeBlobs || q.OmitTotals || q.KeyAgreementAlgorithm != 0
}

// reply is a decoded body.
type reply map[any]any

// rewrite changes the members of a body.
func (q *Quirks) rewrite(msg, body []byte) []byte {
	var r reply
	if ctapcbor.Unmarshal(body, &r) != nil {
		return body
	}
	switch command := ctap2.Command(msg[0]); command {
	case ctap2.CommandGetInfo:
		for number, value := range q.GetInfo {
			r.set(member(number), fromJSON(value))
		}
		for _, number := range q.OmitMembers {
			delete(r, member(number))
		}
	case ctap2.CommandClientPIN:
		q.rewritePIN(r)
	case ctap2.CommandLargeBlobs:
		if fragment, ok := r[member(1)].([]byte); ok && q.CorruptLargeBlobs && len(fragment) > 0 {
			fragment[len(fragment)-1] ^= 0xff
		}
	case ctap2.CommandGetAssertion, ctap2.CommandGetNextAssertion:
		q.rewriteAssertion(command, msg, r)
	case ctap2.CommandCredentialManagement, ctap2.CommandCredentialManagementPreview:
		if q.OmitTotals {
			delete(r, member(5))
			delete(r, member(9))
		}
		q.rewriteNames(r[member(3)])
		q.rewriteNames(r[member(6)])
		if q.OmitNames {
			omitNames(r[member(6)])
		}
	}
	encoded, err := ctapcbor.Marshal(r)
	if err != nil {
		return body
	}
	return encoded
}

// member is the key of a member as the decoder has it.
func member(number int64) any {
	if number < 0 {
		return number
	}
	return uint64(number)
}

// set puts value in a member's place; maps are merged.
func (r reply) set(key, value any) {
	change, isMap := value.(map[any]any)
	under, wasMap := r[key].(map[any]any)
	if !isMap || !wasMap {
		r[key] = value
		return
	}
	for name, value := range change {
		reply(under).set(name, value)
	}
}

// fromJSON makes integers of whole numbers.
func fromJSON(v any) any {
	switch v := v.(type) {
	case float64:
		if v == math.Trunc(v) {
			return int64(v)
		}
	case []any:
		list := make([]any, len(v))
		for i, element := range v {
			list[i] = fromJSON(element)
		}
		return list
	case map[string]any:
		m := map[any]any{}
		for name, element := range v {
			m[name] = fromJSON(element)
		}
		return m
	}
	return v
}

func (q *Quirks) rewritePIN(r reply) {
	if q.OmitPowerCycleState {
		delete(r, member(4))
	}
	if key, ok := r[member(1)].(map[any]any); ok && q.KeyAgreementAlgorithm != 0 {
		key[member(3)] = int64(q.KeyAgreementAlgorithm)
	}
}

func (q *Quirks) rewriteAssertion(command ctap2.Command, msg []byte, r reply) {
	if command == ctap2.CommandGetAssertion {
		if q.OmitCredential && len(readForQuirks(msg).list) == 1 {
			delete(r, member(1))
		}
		if _, several := r[member(5)]; q.OmitUser && !several {
			delete(r, member(4))
		}
	}
	q.rewriteNames(r[member(4)])
	if q.OmitNames {
		omitNames(r[member(4)])
	}
}

func omitNames(entity any) {
	if m, ok := entity.(map[any]any); ok {
		delete(m, "name")
		delete(m, "displayName")
	}
}

// rewriteNames cuts the names of a user or an RP.
func (q *Quirks) rewriteNames(entity any) {
	m, ok := entity.(map[any]any)
	if !ok || q.CutNames == 0 {
		return
	}
	for _, key := range []string{"name", "displayName"} {
		if name, ok := m[key].(string); ok && uint(len(name)) > q.CutNames {
			m[key] = name[:q.CutNames]
		}
	}
}

// backwards returns the same item with the members of all maps in reverse order.
func backwards(raw []byte) []byte {
	major, n, rest := head(raw)
	if major != majorArray && major != majorMap {
		return raw
	}
	perElement := 1
	if major == majorMap {
		perElement = 2
	}
	out := slices.Clone(raw[:len(raw)-len(rest)])
	elements := make([][]byte, n)
	for i := range elements {
		for range perElement {
			size := itemSize(rest)
			elements[i] = append(elements[i], backwards(rest[:size])...)
			rest = rest[size:]
		}
	}
	if major == majorMap {
		slices.Reverse(elements)
	}
	return slices.Concat(append([][]byte{out}, elements...)...)
}
