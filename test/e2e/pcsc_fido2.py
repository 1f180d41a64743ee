"""Drives a key in a PC/SC reader with Debian's python3-fido2 and python3-pyscard:
pcsc_fido2.py READER PROCESS FEATURE

What does not depend on the door is in guest/python_fido2.py. Every feature is a
function that fails with an exception; the key has no past.
"""
import faulthandler
import hashlib
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "guest"))
sys.dont_write_bytecode = True
import python_fido2 as common
from fido2.ctap import CtapError, STATUS
from fido2.ctap2 import ClientPin, Ctap2, LargeBlobs
from fido2.hid import CTAPHID
from fido2.pcsc import CtapPcscDevice
from smartcard.ATR import ATR
from smartcard.Exceptions import SmartcardException

AID = bytes.fromhex("a0000006472f0001")
GET_INFO = bytes([4])
SELECTION = bytes([0x0B])


def open_reader(name):
    """The system takes its time until it has seen a new card."""
    for _ in range(100):
        for device in CtapPcscDevice.list_devices(name):
            return device
        time.sleep(0.1)
    raise AssertionError("no key in " + name)


def again(device):
    """Takes the power from the card and gives it back: the key is tapped anew."""
    device.close()
    return open_reader(sys.argv[1])


def apdu(device, *parts, sw=0x9000):
    """Sends an APDU that is given in digits and bytes, and returns the answer."""
    raw = b"".join(bytes.fromhex(p) if isinstance(p, str) else p for p in parts)
    answer, sw1, sw2 = device.apdu_exchange(raw)
    assert sw1 << 8 | sw2 == sw, "%s: SW %02x%02x, %d bytes" % (raw.hex(), sw1, sw2, len(answer))
    return answer


def extended(p1, message):
    return bytes([0x80, 0x10, p1, 0, 0]) + len(message).to_bytes(2, "big") + message


def atr(device, contact=False):
    answer = ATR(device.get_atr())
    assert answer.checksumOK and answer.isT1Supported() and answer.isT0Supported() != contact, answer
    historical = bytes(answer.getHistoricalBytes())
    assert historical[:1] == b"\x80" and historical.endswith(b"fidokey"), historical


def in_contacts(device):
    """To be put into a contact reader is no touch: the second is asked for too."""
    atr(device, contact=True)
    for _ in range(2):
        seen = []
        touch(device, seen.append)
        assert STATUS.UPNEEDED in seen, seen
    Ctap2(device).reset()


def touch(device, on_keepalive=None):
    """The shortest command that wants one."""
    assert device.call(CTAPHID.CBOR, SELECTION, on_keepalive=on_keepalive) == b"\0"


def apdus(device):
    """Every form of the APDUs by hand."""
    assert apdu(device, "00a4040008", AID) == b"U2F_V2"
    assert apdu(device, "00a4040008", AID, "00") == b"U2F_V2"
    whole = apdu(device, extended(0, GET_INFO), "0000")
    assert whole[0] == 0 and len(whole) > 256
    for p1 in 0x00, 0x80:
        assert apdu(device, extended(p1, GET_INFO)) == whole, "extended without Le"
        assert apdu(device, extended(p1, GET_INFO), "0000") == whole
        for get_response in "00c00000", "80c00000":
            left = len(whole) - 256
            part = apdu(device, bytes([0x80, 0x10, p1, 0, 1]), GET_INFO, "00", sw=0x6100 | min(left, 256) & 0xFF)
            while len(part) < len(whole):
                left = min(32, len(whole) - len(part))
                after = len(whole) - len(part) - left
                part += apdu(device, get_response, bytes([left]), sw=0x6100 | min(after, 256) & 0xFF if after else 0x9000)
            assert part == whole
        apdu(device, "00c0000000", sw=0x6985)
    apdu(device, "9010000001", GET_INFO)  # the first of a chain
    assert apdu(device, "8010000001", b"\xa0", "00")[:1] == bytes([CtapError.ERR.INVALID_LENGTH])
    apdu(device, "80120100")
    apdu(device, extended(0, GET_INFO), sw=0x6985)  # after the end nothing is selected
    apdu(device, "00a4040008", AID, "00")
    assert apdu(device, "0003000000") == b"U2F_V2"
    for instruction in "8042000000", "0042000000":
        apdu(device, instruction, sw=0x6D00)


def chains(device):
    """Requests of thousands of bytes and answers of hundreds, in both lengths."""
    made = common.make(device, "example.com", "alice", rk=False)
    wanted = [{"type": "public-key", "id": made.auth_data.credential_data.credential_id}]
    others = [{"type": "public-key", "id": os.urandom(140)} for _ in range(19)]
    data = hashlib.sha256(b"client data").digest()
    for device.use_ext_apdu in False, True:
        answer = Ctap2(device).get_assertion("example.com", data, others + wanted)
        answer.verify(data, made.auth_data.credential_data.public_key)
        key = common.make(device, "%s.example" % device.use_ext_apdu, "bob", largeBlobKey=True).large_blob_key
        blobs = LargeBlobs(Ctap2(device))
        blob = os.urandom(3000)
        blobs.put_blob(key, blob)
        assert blobs.get_blob(key) == blob
        blobs.delete_blob(key)


def polling(device):
    """The key takes longer than a reader waits: status updates, then the answer."""
    seen = []
    touch(device, seen.append)
    assert seen == [], "the tap is a touch: %s" % seen
    for device.use_ext_apdu in False, True:
        seen = []
        touch(device, seen.append)
        assert STATUS.UPNEEDED in seen, seen
    start = time.monotonic()
    assert apdu(device, extended(0, SELECTION)) == b"\0"  # asks for no updates
    assert time.monotonic() - start > 0.2


def cancel(device):
    """Nobody touches the key; the platform gives up."""
    touch(device)  # takes the tap
    apdu(device, extended(0x80, SELECTION), sw=0x9100)
    assert apdu(device, "8011000000", sw=0x9100) == b"\x02"
    assert apdu(device, "8011110000") == bytes([CtapError.ERR.KEEPALIVE_CANCEL])
    apdu(device, "8011000000", sw=0x6985)
    assert apdu(device, "8010800001", GET_INFO, "00", sw=apdu_more(device))[:1] == b"\0"


def apdu_more(device):
    left = len(apdu(device, extended(0, GET_INFO))) - 256
    return 0x6100 | min(left, 256) & 0xFF


def no_button(device):
    """Every touch is a new tap."""
    for _ in range(2):
        common.make(device, "example.com", "alice")
        try:
            common.make(device, "example.com", "alice")
            raise AssertionError("touched without a tap")
        except CtapError as e:
            assert e.code == CtapError.ERR.OPERATION_DENIED, e
        device = again(device)


def reset(device):
    """A new field opens the time for a reset, forgets tokens, and is a touch."""
    pins = ClientPin(Ctap2(device))
    pins.set_pin(common.PIN)
    common.make(device, "example.com", "alice", rk=False)
    device = again(device)
    Ctap2(device).reset()
    assert Ctap2(device).info.options["clientPin"] is False


def vanish(device):
    """The card goes while a touch is waited for: an error, and no hanging."""
    touch(device)  # takes the tap
    threading.Timer(0.5, os.kill, (int(sys.argv[2]), signal.SIGTERM)).start()
    try:
        answer = device.apdu_exchange(extended(0, SELECTION))
        raise AssertionError("the card answers %r" % (answer,))
    except (SmartcardException, IndexError):  # pcscd takes it for an answer of no bytes
        pass


def round_trip(device):
    """How long getInfo takes, at the median of the best of a few tries."""
    message = extended(0, GET_INFO)
    medians = []
    for _ in range(5):
        times = []
        for _ in range(200):
            start = time.perf_counter()
            apdu(device, message)
            times.append(time.perf_counter() - start)
        medians.append(sorted(times)[len(times) // 2] * 1000)
    print("getInfo through pcscd: p50 %.2f ms" % min(medians))
    assert min(medians) < 1, medians


if __name__ == "__main__":
    faulthandler.dump_traceback_later(60, exit=True)  # in place of hanging
    feature = globals().get(sys.argv[3]) or getattr(common, sys.argv[3])
    feature(open_reader(sys.argv[1]))
