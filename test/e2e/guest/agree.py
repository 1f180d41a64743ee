"""Says what Debian's python3-fido2 sees on a key, or changes it: agree.py NODE WHAT [HEX]

Answers are one line of JSON, byte strings in hexadecimal.
"""
import hashlib
import json
import sys

from fido2.client import Fido2Client
from fido2.ctap2 import Ctap2, ClientPin, CredentialManagement, FPBioEnrollment, LargeBlobs
from fido2.hid import open_device

PIN = "123456"
RP = "example.com"


def token(device, permission):
    ctap = Ctap2(device)
    pins = ClientPin(ctap)
    return ctap, pins.protocol, pins.get_pin_token(PIN, permission)


def get(device, **extensions):
    return Ctap2(device).get_assertion(
        RP, hashlib.sha256(b"client data").digest(), extensions=extensions)


def hmac_secret(device, salts):
    """The secrets for one or two salts, without user verification."""
    client = Fido2Client(device, "https://" + RP, verify=lambda rp_id, origin: True)
    inputs = {"salt1": salts[:32]}
    if salts[32:]:
        inputs["salt2"] = salts[32:]
    result = client.get_assertion({
        "rpId": RP, "challenge": b"challenge", "userVerification": "discouraged",
        "extensions": {"hmacGetSecret": inputs},
    }).get_response(0).extension_results["hmacGetSecret"]
    return result["output1"] + result.get("output2", b"")


def cred_blob(device, _):
    return get(device, credBlob=True).auth_data.extensions["credBlob"]


def blob_read(device, _):
    return LargeBlobs(Ctap2(device)).get_blob(get(device, largeBlobKey=True).large_blob_key)


def blob_write(device, blob):
    key = get(device, largeBlobKey=True).large_blob_key
    LargeBlobs(*token(device, ClientPin.PERMISSION.LARGE_BLOB_WRITE)).put_blob(key, blob)


def blob_delete(device, _):
    key = get(device, largeBlobKey=True).large_blob_key
    LargeBlobs(*token(device, ClientPin.PERMISSION.LARGE_BLOB_WRITE)).delete_blob(key)


def credentials(device, _):
    credman = CredentialManagement(*token(device, ClientPin.PERMISSION.CREDENTIAL_MGMT))
    R = CredentialManagement.RESULT
    if not credman.get_metadata()[R.EXISTING_CRED_COUNT]:
        return []
    return sorted(
        [rp[R.RP]["id"], c[R.USER]["name"], c[R.USER].get("displayName", ""), c[R.CREDENTIAL_ID]["id"]]
        for rp in credman.enumerate_rps() for c in credman.enumerate_creds(rp[R.RP_ID_HASH]))


def fingerprints(device, _):
    bio = FPBioEnrollment(*token(device, ClientPin.PERMISSION.BIO_ENROLL))
    return sorted(name for name in bio.enumerate_enrollments().values())


def options(device, _):
    info = Ctap2(device).info
    return {**info.options, "minPINLength": info.min_pin_length, "forcePINChange": info.force_pin_change}


if __name__ == "__main__":
    answer = globals()[sys.argv[2]](
        open_device(sys.argv[1]), bytes.fromhex(sys.argv[3]) if len(sys.argv) > 3 else b"")
    print(json.dumps(answer, default=bytes.hex))
