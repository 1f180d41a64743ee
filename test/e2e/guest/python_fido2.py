"""Drives a key with Debian's python3-fido2: python_fido2.py NODE FEATURE

Every feature is a function that fails with an exception; the key has no past.
"""
import faulthandler
import hashlib
import os
import sys
import time

from fido2.client import Fido2Client, ClientError
from fido2.ctap import CtapError
from fido2.ctap1 import APDU, ApduError, Ctap1
from fido2.ctap2 import (
    Ctap2, ClientPin, Config, CredentialManagement, FPBioEnrollment, LargeBlobs)
from fido2.hid import open_device
from fido2.server import Fido2Server

PIN = "swordfish"


def client(device, rp):
    return Fido2Client(device, "https://" + rp, verify=lambda rp_id, origin: True)


def verification(pin):
    """This client refuses a mere preference when the key has no PIN yet."""
    return "preferred" if pin else "discouraged"


def register(device, rp, user, pin=None, **options):
    """Registers as a browser does and has the library's server judge the answer."""
    server = Fido2Server({"id": rp, "name": rp}, attestation="direct")
    create, state = server.register_begin(
        {"id": user.encode(), "name": user, "displayName": user.title()},
        resident_key=True,
        user_verification=verification(pin),
    )
    create["publicKey"].update(options)
    result = client(device, rp).make_credential(create["publicKey"], pin=pin)
    data = server.register_complete(state, result.client_data, result.attestation_object)
    return server, data.credential_data, result


def authenticate(device, server, rp, credential, pin=None, **options):
    request, state = server.authenticate_begin(
        [credential], user_verification=verification(pin))
    request["publicKey"].update(options)
    selection = client(device, rp).get_assertion(request["publicKey"], pin=pin)
    response = selection.get_response(0)
    server.authenticate_complete(
        state, [credential], response.credential_id, response.client_data,
        response.authenticator_data, response.signature,
    )
    return response


def pin(device):
    for version in (1, 2):
        protocol = next(p for p in ClientPin.PROTOCOLS if p.VERSION == version)()
        key = ClientPin(Ctap2(device), protocol)
        if version == 1:
            key.set_pin(PIN)
        else:
            key.change_pin(PIN + "1", PIN)
        assert key.get_pin_retries()[0] == 8, key.get_pin_retries()
        try:
            key.get_pin_token("haddock", ClientPin.PERMISSION.GET_ASSERTION, "example.com")
            raise AssertionError("a wrong PIN is taken")
        except CtapError as e:
            assert e.code == CtapError.ERR.PIN_INVALID, e
        assert key.get_pin_retries()[0] == 7, key.get_pin_retries()
        token = key.get_pin_token(PIN, ClientPin.PERMISSION.GET_ASSERTION, "example.com")
        assert len(token) == 32, token
        assert key.get_pin_retries()[0] == 8, key.get_pin_retries()
        if version == 1:
            key.change_pin(PIN, PIN + "1")


def webauthn(device):
    server, credential, result = register(device, "example.com", "alice")
    assert not result.attestation_object.auth_data.is_user_verified()
    authenticate(device, server, "example.com", credential)
    ClientPin(Ctap2(device)).set_pin(PIN)
    server, credential, result = register(device, "example.org", "bob", PIN)
    assert result.attestation_object.auth_data.is_user_verified()
    response = authenticate(device, server, "example.org", credential, PIN)
    assert response.authenticator_data.is_user_verified()
    try:
        authenticate(device, server, "example.org", credential, "haddock")
        raise AssertionError("a wrong PIN is taken")
    except ClientError as e:
        assert e.code == ClientError.ERR.BAD_REQUEST, e


def hmac_secret(device):
    server, credential, result = register(
        device, "example.com", "alice", extensions={"hmacCreateSecret": True})
    assert result.extension_results["hmacCreateSecret"] is True, result.extension_results
    one, two = os.urandom(32), os.urandom(32)

    def secrets(**salts):
        response = authenticate(
            device, server, "example.com", credential, extensions={"hmacGetSecret": salts})
        return response.extension_results["hmacGetSecret"]

    first = secrets(salt1=one)
    assert secrets(salt1=one) == first, "not the same twice"
    both = secrets(salt1=one, salt2=two)
    assert both["output1"] == first["output1"] and both["output2"] != both["output1"], both


def credentials(device):
    made = {}
    for rp, user in ("example.com", "alice"), ("example.com", "bob"), ("example.org", "carol"):
        made[user] = register(device, rp, user)[1]
    pins = ClientPin(Ctap2(device))
    pins.set_pin(PIN)

    def manage():
        token = pins.get_pin_token(PIN, ClientPin.PERMISSION.CREDENTIAL_MGMT)
        return CredentialManagement(Ctap2(device), pins.protocol, token)

    R = CredentialManagement.RESULT
    credman = manage()
    assert credman.get_metadata()[R.EXISTING_CRED_COUNT] == 3
    rps = {r[R.RP]["id"]: r[R.RP_ID_HASH] for r in credman.enumerate_rps()}
    assert set(rps) == {"example.com", "example.org"}, rps
    assert rps["example.com"] == hashlib.sha256(b"example.com").digest()
    listed = {c[R.USER]["name"]: c for c in credman.enumerate_creds(rps["example.com"])}
    assert set(listed) == {"alice", "bob"}, listed
    assert listed["alice"][R.CREDENTIAL_ID]["id"] == made["alice"].credential_id
    assert listed["alice"][R.PUBLIC_KEY] == made["alice"].public_key
    credman.update_user_info(
        listed["alice"][R.CREDENTIAL_ID],
        {"id": b"alice", "name": "alicia", "displayName": "Alicia"})
    credman.delete_cred(listed["bob"][R.CREDENTIAL_ID])
    credman = manage()
    left = [c[R.USER] for c in credman.enumerate_creds(rps["example.com"])]
    assert left == [{"id": b"alice", "name": "alicia", "displayName": "Alicia"}], left
    assert credman.get_metadata()[R.EXISTING_CRED_COUNT] == 2


def make(device, rp, user, rk=True, **extensions):
    """makeCredential without the library's client, for what that does not know."""
    return Ctap2(device).make_credential(
        hashlib.sha256(b"client data").digest(), {"id": rp},
        {"id": user.encode(), "name": user}, [{"type": "public-key", "alg": -7}],
        extensions=extensions, options={"rk": rk})


def get(device, rp, **extensions):
    return Ctap2(device).get_assertion(
        rp, hashlib.sha256(b"client data").digest(), extensions=extensions)


def cred_blob(device):
    assert make(device, "example.com", "alice", credBlob=b"note").auth_data.extensions == {"credBlob": True}
    assert get(device, "example.com", credBlob=True).auth_data.extensions == {"credBlob": b"note"}
    make(device, "example.org", "bob")
    assert get(device, "example.org", credBlob=True).auth_data.extensions == {"credBlob": b""}


def cred_protect(device):
    for level in 1, 2, 3:
        made = make(device, "level%d.example" % level, "alice", credProtect=level)
        assert made.auth_data.extensions == {"credProtect": level}, made.auth_data.extensions
    get(device, "level1.example")
    for level in 2, 3:
        try:
            get(device, "level%d.example" % level)
            raise AssertionError("found without user verification")
        except CtapError as e:
            assert e.code == CtapError.ERR.NO_CREDENTIALS, e


def large_blobs(device):
    key = make(device, "example.com", "alice", largeBlobKey=True).large_blob_key
    assert len(key) == 32 and get(device, "example.com", largeBlobKey=True).large_blob_key == key
    blobs = LargeBlobs(Ctap2(device))
    assert blobs.read_blob_array() == [] and blobs.get_blob(key) is None
    blobs.put_blob(key, b"certificate " * 50)
    assert blobs.get_blob(key) == b"certificate " * 50
    pins = ClientPin(Ctap2(device))
    pins.set_pin(PIN)
    token = pins.get_pin_token(PIN, ClientPin.PERMISSION.LARGE_BLOB_WRITE)
    blobs = LargeBlobs(Ctap2(device), pins.protocol, token)
    # One fragment: this version announces the length of each as that of the whole.
    blobs.put_blob(os.urandom(32), os.urandom(500))
    assert blobs.get_blob(key) == b"certificate " * 50
    blobs.delete_blob(key)
    assert blobs.get_blob(key) is None and len(blobs.read_blob_array()) == 1


def config(device):
    pins = ClientPin(Ctap2(device))
    pins.set_pin(PIN)

    def change():
        token = pins.get_pin_token(PIN, ClientPin.PERMISSION.AUTHENTICATOR_CFG)
        return Config(Ctap2(device), pins.protocol, token)

    assert Ctap2(device).info.options["alwaysUv"] is False
    change().toggle_always_uv()
    assert Ctap2(device).info.options["alwaysUv"] is True
    try:
        make(device, "example.com", "alice", rk=False)
        raise AssertionError("alwaysUv does nothing")
    except CtapError as e:
        assert e.code == CtapError.ERR.PIN_REQUIRED, e  # PUAT_REQUIRED by now
    change().toggle_always_uv()
    make(device, "example.com", "alice", rk=False)
    change().set_min_pin_length(min_pin_length=6, rp_ids=["example.com"])
    assert Ctap2(device).info.min_pin_length == 6
    assert make(device, "example.com", "bob", rk=False, minPinLength=True).auth_data.extensions == {"minPinLength": 6}
    assert not make(device, "example.org", "bob", rk=False, minPinLength=True).auth_data.extensions
    change().set_min_pin_length(force_change_pin=True)
    assert Ctap2(device).info.force_pin_change is True
    try:
        change()
        raise AssertionError("a token before the forced change")
    except CtapError as e:
        assert e.code == CtapError.ERR.PIN_POLICY_VIOLATION, e
    pins.change_pin(PIN, PIN + "1")
    assert Ctap2(device).info.force_pin_change is False


def fingerprints(device):
    pins = ClientPin(Ctap2(device))
    pins.set_pin(PIN)
    assert Ctap2(device).info.options["uv"] is False
    token = pins.get_pin_token(PIN, ClientPin.PERMISSION.BIO_ENROLL)
    bio = FPBioEnrollment(Ctap2(device), pins.protocol, token)
    enroller = bio.enroll()
    template = None
    while template is None:
        template = enroller.capture()
    bio.set_name(template, "left thumb")
    assert bio.enumerate_enrollments() == {template: "left thumb"}
    assert Ctap2(device).info.options["uv"] is True
    token = pins.get_uv_token(ClientPin.PERMISSION.GET_ASSERTION, "example.com")
    assert len(token) == 32 and pins.get_uv_retries()[0] > 0
    made = Ctap2(device).make_credential(
        hashlib.sha256(b"client data").digest(), {"id": "example.com"},
        {"id": b"alice", "name": "alice"}, [{"type": "public-key", "alg": -7}],
        options={"rk": True, "uv": True})
    assert made.auth_data.is_user_verified()
    bio = FPBioEnrollment(
        Ctap2(device), pins.protocol, pins.get_pin_token(PIN, ClientPin.PERMISSION.BIO_ENROLL))
    bio.remove_enrollment(template)
    assert Ctap2(device).info.options["uv"] is False


def touched(command, *args):
    """U2F has no waiting for a touch: the platform asks until there was one."""
    for _ in range(100):
        try:
            return command(*args)
        except ApduError as e:
            if e.code != APDU.USE_NOT_SATISFIED:
                raise
        time.sleep(0.1)
    raise AssertionError("never touched")


def u2f(device):
    key = Ctap1(device)
    assert key.get_version() == "U2F_V2"
    app, challenge = hashlib.sha256(b"example.com").digest(), hashlib.sha256(b"challenge").digest()
    made = touched(key.register, challenge, app)
    made.verify(app, challenge)
    signed = touched(key.authenticate, challenge, app, made.key_handle)
    signed.verify(app, challenge, made.public_key)
    assert touched(key.authenticate, challenge, app, made.key_handle).counter > signed.counter
    # The same credential through CTAP2.
    Ctap2(device).get_assertion(
        "example.com", challenge, [{"type": "public-key", "id": made.key_handle}])


if __name__ == "__main__":
    faulthandler.dump_traceback_later(50, exit=True)  # in place of hanging
    globals()[sys.argv[2]](open_device(sys.argv[1]))
