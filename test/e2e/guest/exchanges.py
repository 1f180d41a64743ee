"""Does one thing with a key as Debian's python3-fido2 does it: exchanges.py NODE TASK

What is prepared before the count begins is not done here.
"""
import hashlib
import sys

from fido2.client import Fido2Client
from fido2.ctap2 import (
    Ctap2, ClientPin, Config, CredentialManagement, FPBioEnrollment, LargeBlobs)
from fido2.hid import open_device

PIN = "123456"
RP = "example.com"


def client(device):
    return Fido2Client(device, "https://" + RP, verify=lambda rp_id, origin: True)


def token(device, permission):
    ctap = Ctap2(device)
    pins = ClientPin(ctap)
    return ctap, pins.protocol, pins.get_pin_token(PIN, permission)


def info(device):
    ClientPin(Ctap2(device)).get_pin_retries()


def pin_set(device):
    ClientPin(Ctap2(device)).set_pin(PIN)


def pin_change(device):
    ClientPin(Ctap2(device)).change_pin(PIN, PIN)


def register(device):
    client(device).make_credential({
        "rp": {"id": RP, "name": RP}, "challenge": b"challenge",
        "user": {"id": b"alice", "name": "alice"},
        "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
        "authenticatorSelection": {"requireResidentKey": True, "userVerification": "required"},
    }, pin=PIN)


def authenticate(device):
    client(device).get_assertion({
        "rpId": RP, "challenge": b"challenge", "userVerification": "required",
    }, pin=PIN)


def credentials_list(device):
    credman = CredentialManagement(*token(device, ClientPin.PERMISSION.CREDENTIAL_MGMT))
    R = CredentialManagement.RESULT
    for rp in credman.enumerate_rps():
        credman.enumerate_creds(rp[R.RP_ID_HASH])


def credentials_metadata(device):
    CredentialManagement(*token(device, ClientPin.PERMISSION.CREDENTIAL_MGMT)).get_metadata()


def fingerprints_list(device):
    FPBioEnrollment(*token(device, ClientPin.PERMISSION.BIO_ENROLL)).enumerate_enrollments()


def blobs_set(device):
    LargeBlobs(*token(device, ClientPin.PERMISSION.LARGE_BLOB_WRITE)).put_blob(bytes(32), b"blob")


def blobs_get(device):
    LargeBlobs(Ctap2(device)).get_blob(bytes(32))


def min_length(device):
    Config(*token(device, ClientPin.PERMISSION.AUTHENTICATOR_CFG)).set_min_pin_length(min_pin_length=5)


if __name__ == "__main__":
    globals()[sys.argv[2]](open_device(sys.argv[1]))
