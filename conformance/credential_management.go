package conformance

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// manage is a credentialManagement with a token for cm that must succeed.
func (p *probe) manage(sub int, subParams any) map[int]any {
	return p.ok(cmdCredentialManagement, p.token(permCM, "").manage(sub, subParams))
}

// managed is one with a token for cm, changed, judged.
func managed(sub int, subParams any, edits ...edit) func(*probe) {
	return func(p *probe) {
		p.judged(cmdCredentialManagement, edited(p.token(permCM, "").manage(sub, subParams), edits...))
	}
}

// manageNext is a GetNext sub-command.
func (p *probe) manageNext(sub int) reply { return p.call(cmdCredentialManagement, m{1: sub}) }

// enumerateRPs lists all RPs as rpIDHash to rp.id.
func (p *probe) enumerateRPs() map[string]string { return p.rpsFrom(p.manage(2, nil)) }

func (p *probe) rpsFrom(body map[int]any) map[string]string {
	rps := map[string]string{}
	for total, n := num(body[5]), int64(1); ; n++ {
		hash := string(blob(body[4]))
		_, twice := rps[hash]
		p.check(len(hash) == 32 && !twice, "rpIDHash %x, or twice the same", hash)
		rps[hash], _ = asMap(body[3])["id"].(string)
		if n >= total {
			return rps
		}
		r := p.manageNext(3)
		p.want(r, success)
		body = r.body
	}
}

// enumerate lists the credentials of an RP.
func (p *probe) enumerate(rp string) []map[int]any {
	return p.listFrom(p.manage(4, m{1: sum([]byte(rp))}))
}

func (p *probe) listFrom(body map[int]any) []map[int]any {
	listed := []map[int]any{body}
	for total := num(body[9]); int64(len(listed)) < total; {
		r := p.manageNext(5)
		p.want(r, success)
		listed = append(listed, r.body)
	}
	return listed
}

// listed is the entry of a credential.
func (p *probe) listed(c *credential) map[int]any {
	for _, entry := range p.enumerate(c.rp) {
		if bytes.Equal(blob(asMap(entry[7])["id"]), c.id) {
			return entry
		}
	}
	p.fail("credential %x is not listed", c.id)
	return nil
}

// threeRPs makes a credential for each of three RPs and begins to enumerate.
func (p *probe) threeRPs() map[int]any {
	for i := range 3 {
		p.register(discoverable(), rpID(fmt.Sprintf("%d.%s", i, p.rp())))
	}
	return p.manage(2, nil)
}

// mayGoOn judges the answer of a GetNext sub-command that may go on with the
// series, or not.
func (p *probe) mayGoOn(r reply) {
	p.judge(r)
	p.check(r.status != success || len(blob(r.body[4])) == 32, "OK without an RP: %v", r.body)
}

// twoCredentials makes two credentials of an RP and begins to enumerate them.
func (p *probe) twoCredentials() (body map[int]any) {
	p.register(discoverable())
	p.register(discoverable())
	return p.manage(4, m{1: sum([]byte(p.rp()))})
}

// fillStore makes discoverable credentials until there is no room.
func (p *probe) fillStore() (last *credential) {
	p.released()
	p.dirty()
	for n := range 10000 {
		params := p.mc(discoverable())
		if p.pin != "" {
			params = p.token(permMC, p.rp()).mc(params)
		}
		r := p.call(cmdMakeCredential, params)
		if r.status == eKeyStoreFull {
			p.note("observed: room for %d more credentials", n)
			return last
		}
		last = p.created(params, r)
	}
	p.fail("no end of room")
	return nil
}

// deleted removes a credential.
func (p *probe) deleted(c *credential) { p.manage(6, m{2: descriptor(c.id)}) }

// update asks for other user information.
func (p *probe) update(c *credential, user m) reply {
	return p.call(cmdCredentialManagement, p.token(permCM, "").manage(7, m{2: descriptor(c.id), 3: user}))
}

func cmCases() cases {
	return cases{
		"CM-001": func(p *probe) { p.judged(cmdCredentialManagement, m{1: 1}) },
		"CM-002": managed(1, nil, drop(1)),
		"CM-003": managed(0x7f, nil),
		"CM-004": func(p *probe) {
			body := p.manage(1, nil)
			p.check(num(body[1]) == 0 && num(body[2]) > 0, "metadata %v", body)
		},
		"CM-005": func(p *probe) {
			last := p.manage(1, nil)
			for range 2 {
				p.register(discoverable())
				now := p.manage(1, nil)
				p.check(num(now[1]) == num(last[1])+1 && num(now[2]) < num(last[2]), "metadata %v, then %v", last, now)
				last = now
			}
		},
		"CM-006": managed(1, nil, drop(4), drop(3)),
		"CM-007": managed(1, nil, drop(3)),
		"CM-008": func(p *probe) {
			params := p.token(permCM, "").manage(1, nil)
			p.judged(cmdCredentialManagement, edited(params, set(flip(blob(params[4])), 4)))
		},
		"CM-009": func(p *probe) {
			t := p.token(permGA, p.rp())
			if p.option("authnrCfg") == true { // a token that is not bound to an RP says more
				t = p.token(permACFG, "")
			}
			p.judged(cmdCredentialManagement, t.manage(1, nil))
		},
		"CM-010": func(p *probe) { p.judged(cmdCredentialManagement, p.token(permCM, p.rp()).manage(1, nil)) },
		"CM-011": func(p *probe) {
			t := p.token(permCM, "")
			before := p.retries()
			params := t.manage(1, nil)
			for range 10 {
				p.want(p.call(cmdCredentialManagement, edited(params, set(flip(blob(params[4])), 4))), ePINAuthInvalid)
			}
			p.check(p.retries() == before, "retries %d, then %d", before, p.retries())
			p.ok(cmdCredentialManagement, params)
		},
		"CM-012": managed(2, nil),
		"CM-013": func(p *probe) {
			body := p.threeRPs()
			id, _ := asMap(body[3])["id"].(string)
			p.check(id != "" && bytes.Equal(blob(body[4]), sum([]byte(id))) && num(body[5]) == 3, "answer %v", body)
		},
		"CM-014": func(p *probe) {
			c := p.register(discoverable(), rpID(strings.Repeat("long-", 20)+p.rp()))
			shown, found := p.enumerateRPs()[string(sum([]byte(c.rp)))]
			p.check(found, "the hash of %s is not listed", c.rp)
			if shown != c.rp {
				p.note("observed: %q", shown)
			}
		},
		"CM-015": func(p *probe) {
			p.threeRPs()
			rps := p.enumerateRPs()
			for i := range 3 {
				id := fmt.Sprintf("%d.%s", i, p.rp())
				p.check(rps[string(sum([]byte(id)))] != "", "%s is not listed", id)
			}
		},
		"CM-016": func(p *probe) {
			p.rpsFrom(p.threeRPs())
			p.judge(p.manageNext(3))
		},
		"CM-017": func(p *probe) { p.judged(cmdCredentialManagement, m{1: 3}) },
		"CM-018": func(p *probe) {
			p.need(p.wire != nil, "no HID")
			p.threeRPs()
			b := p.channel()
			msg := request(cmdCredentialManagement, m{1: 3})
			p.wire.send(b, hidCBOR, msg)
			p.mayGoOn(p.answer(b, msg))
		},
		"CM-019": func(p *probe) {
			p.threeRPs()
			p.getInfo()
			p.mayGoOn(p.manageNext(3))
		},
		"CM-020": func(p *probe) {
			p.threeRPs()
			p.wait(31 * time.Second)
			p.mayGoOn(p.manageNext(3))
		},
		"CM-021": func(p *probe) {
			p.register(discoverable())
			entry := p.manage(4, m{1: sum([]byte(p.rp()))})
			p.check(len(blob(asMap(entry[6])["id"])) > 0 && len(blob(asMap(entry[7])["id"])) > 0 && len(asMap(entry[8])) > 0 &&
				num(entry[9]) > 0, "entry %v", entry)
			p.check(!p.extension("credProtect") || num(entry[0x0a]) >= 1 && num(entry[0x0a]) <= 3, "credProtect %v", entry[0x0a])
		},
		"CM-022": func(p *probe) {
			c := p.register(discoverable())
			p.check(bytes.Equal(encode(p.listed(c)[8]), c.data.key), "publicKey %x, registered %x", encode(p.listed(c)[8]), c.data.key)
		},
		"CM-023": func(p *probe) {
			p.need(p.extension("largeBlobKey"), "the key has no largeBlobKey")
			with, without := p.register(discoverable(), extension("largeBlobKey", true)), p.register(discoverable())
			p.check(bytes.Equal(blob(p.listed(with)[0x0b]), blob(with.response[5])) && len(blob(with.response[5])) == 32, "largeBlobKey %v", p.listed(with)[0x0b])
			p.check(p.listed(without)[0x0b] == nil, "largeBlobKey of a credential without")
		},
		"CM-024": managed(4, m{1: make([]byte, 32)}),
		"CM-025": managed(4, nil),
		"CM-026": managed(4, m{1: make([]byte, 31)}),
		"CM-027": func(p *probe) {
			p.register(discoverable())
			p.judged(cmdCredentialManagement, p.token(permCM, "other."+p.rp()).manage(4, m{1: sum([]byte(p.rp()))}))
		},
		"CM-028": func(p *probe) {
			p.listFrom(p.twoCredentials())
			p.judge(p.manageNext(5))
		},
		"CM-029": func(p *probe) { p.judged(cmdCredentialManagement, m{1: 5}) },
		"CM-030": func(p *probe) {
			c := p.register(discoverable())
			before := num(p.manage(1, nil)[2])
			p.deleted(c)
			p.want(p.call(cmdGetAssertion, c.ga()), eNoCredentials)
			p.check(num(p.manage(1, nil)[2]) > before, "remaining did not go up from %d", before)
		},
		"CM-031": managed(6, m{2: m{"id": make([]byte, 32), "type": "public-key"}}),
		"CM-032": func(p *probe) {
			c := p.register(discoverable())
			p.judged(cmdCredentialManagement, p.token(permCM, "other."+p.rp()).manage(6, m{2: descriptor(c.id)}))
			p.check(p.works(c), "the credential is gone")
		},
		"CM-033": func(p *probe) {
			p.register(discoverable(), rpID("other."+p.rp()))
			c := p.register(discoverable(), rpID("last."+p.rp()))
			p.deleted(c)
			_, found := p.enumerateRPs()[string(sum([]byte(c.rp)))]
			p.check(!found, "the RP is still listed")
		},
		"CM-034": func(p *probe) {
			c := p.register(discoverable())
			p.threeRPs()
			t := p.token(permCM, "")
			p.ok(cmdCredentialManagement, t.manage(2, nil))
			p.ok(cmdCredentialManagement, t.manage(6, m{2: descriptor(c.id)}))
			p.mayGoOn(p.manageNext(3))
		},
		"CM-035": func(p *probe) {
			c := p.register(discoverable())
			p.judge(p.update(c, m{"id": c.userID, "name": "eve", "displayName": "Eve E."}))
			u := asMap(p.listed(c)[6])
			p.check(u["name"] == "eve" && u["displayName"] == "Eve E.", "user %v", u)
		},
		"CM-036": func(p *probe) {
			c := p.register(discoverable())
			p.want(p.update(c, m{"id": c.userID, "name": "eve"}), success)
			u := asMap(p.listed(c)[6])
			p.check(u["name"] == "eve" && (u["displayName"] == nil || u["displayName"] == ""), "user %v", u)
		},
		"CM-037": func(p *probe) {
			c := p.register(discoverable())
			p.judge(p.update(c, m{"id": p.random(16), "name": "eve"}))
			p.check(asMap(p.listed(c)[6])["name"] == "ada", "user %v", p.listed(c)[6])
		},
		"CM-038": managed(7, m{2: m{"id": make([]byte, 32), "type": "public-key"}, 3: m{"id": []byte{1}, "name": "eve"}}),
		"CM-039": func(p *probe) {
			c := p.fillStore()
			r := p.update(c, m{"id": c.userID, "name": "a longer name than before"})
			p.judge(r)
			if r.status != success {
				p.check(asMap(p.listed(c)[6])["name"] == "ada", "user %v", p.listed(c)[6])
			}
		},
		"CM-040": func(p *probe) {
			p.register(discoverable())
			t := p.persistentToken()
			p.ok(cmdCredentialManagement, t.manage(1, nil))
			p.rpsFrom(p.ok(cmdCredentialManagement, t.manage(2, nil)))
			p.listFrom(p.ok(cmdCredentialManagement, t.manage(4, m{1: sum([]byte(p.rp()))})))
		},
		"CM-041": func(p *probe) {
			c := p.register(discoverable())
			t := p.persistentToken()
			p.judged(cmdCredentialManagement, t.manage(6, m{2: descriptor(c.id)}))
			p.judged(cmdCredentialManagement, t.manage(7, m{2: descriptor(c.id), 3: m{"id": c.userID, "name": "eve"}}))
		},
		"CM-042": func(p *probe) {
			p.need(p.extension("thirdPartyPayment"), "the key has no thirdPartyPayment")
			with, without := p.register(discoverable(), extension("thirdPartyPayment", true)), p.register(discoverable())
			p.check(p.listed(with)[0x0c] == true, "thirdPartyPayment %v", p.listed(with)[0x0c])
			p.check(p.listed(without)[0x0c] != true, "thirdPartyPayment of a credential without")
		},
		"CM-043": func(p *probe) {
			defer p.dirty()
			rps := int64(20)
			if room := num(p.manage(1, nil)[2]); room < 3*rps {
				rps = room / 3
				p.note("observed: room for %d RPs only", rps)
			}
			for i := range rps * 3 {
				p.register(discoverable(), rpID(fmt.Sprintf("%d.%s", i/3, p.rp())))
			}
			listed := p.enumerateRPs()
			for i := range rps {
				rp := fmt.Sprintf("%d.%s", i, p.rp())
				_, found := listed[string(sum([]byte(rp)))]
				p.check(found, "%s is not listed", rp)
				ids := map[string]bool{}
				for _, entry := range p.enumerate(rp) {
					ids[string(blob(asMap(entry[7])["id"]))] = true
				}
				p.check(len(ids) == 3, "%d credentials of %s", len(ids), rp)
			}
		},
		"CM-044": func(p *probe) {
			p.need(p.option("credentialMgmtPreview") == true, "the key has no credentialMgmtPreview")
			c := p.register(discoverable())
			const preview = 0x41
			body := p.ok(preview, p.token(permCM, "").manage(1, nil))
			p.check(num(body[1]) > 0, "metadata %v", body)
			p.rpsFromBy(preview, p.ok(preview, p.token(permCM, "").manage(2, nil)))
			entry := p.ok(preview, p.token(permCM, "").manage(4, m{1: sum([]byte(c.rp))}))
			p.check(bytes.Equal(encode(entry[8]), c.data.key), "entry %v", entry)
			p.ok(preview, p.token(permCM, "").manage(6, m{2: descriptor(c.id)}))
			p.want(p.call(cmdGetAssertion, c.ga()), eNoCredentials)
		},
	}
}

// rpsFromBy reads an enumeration of RPs to its end with an old command number.
func (p *probe) rpsFromBy(command byte, body map[int]any) {
	for n := num(body[5]); n > 1; n-- {
		p.ok(command, m{1: 3})
	}
}
