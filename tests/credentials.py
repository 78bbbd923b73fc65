"""Pictures with signed Content Credentials, made by the real library with a certificate of our own; no network."""

import datetime
import io
from functools import cache

import c2pa
import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

CAPTURE = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
USES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


@cache
def certificate() -> tuple[bytes, bytes]:
    """A chain of two certificates and the signer's key, in PEM, valid for a day."""
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    known = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())

    def named(word: str) -> x509.Name:
        owner = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "portraitist tests")
        return x509.Name([owner, x509.NameAttribute(NameOID.COMMON_NAME, word)])

    def signed(word: str, holder: ec.EllipticCurvePrivateKey, *uses: str, more: list[x509.ExtensionType]) -> bytes:
        made = x509.CertificateBuilder().subject_name(named(word)).issuer_name(named("root"))
        made = made.public_key(holder.public_key()).serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - day).not_valid_after(now + day)
        made = made.add_extension(x509.BasicConstraints(word == "root", None), critical=True)
        made = made.add_extension(x509.KeyUsage(**{use: use in uses for use in USES}), critical=True)
        for extension in more:
            made = made.add_extension(extension, critical=False)
        return made.sign(root_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    leaf = signed("signer", key, "digital_signature", more=[purpose, authority])
    root = signed("root", root_key, "key_cert_sign", "crl_sign", more=[known])
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return leaf + root, key.private_bytes(serialization.Encoding.PEM, *plain)


def signed(pixels: np.ndarray, kind: str = "JPEG", source: str = CAPTURE, **entries: str) -> bytes:
    """A picture with a signed manifest; entries: assertion__use, such as cawg__ai_training="notAllowed"."""
    assertions = [
        {"label": "c2pa.actions", "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": source}]}}
    ]
    for label in sorted({name.split("__")[0] for name in entries}):
        uses = {f"{label}.{n.split('__')[1]}": {"use": u} for n, u in entries.items() if n.startswith(f"{label}__")}
        assertions.append({"label": f"{label}.training-mining", "data": {"entries": uses}})
    manifest = {"claim_generator_info": [{"name": "tests", "version": "1"}], "title": "a", "assertions": assertions}
    plain, out = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels).save(plain, kind)
    chain, key = certificate()
    quiet = c2pa.Settings.from_dict({"builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_trust": False}})
    with c2pa.Builder(manifest, c2pa.Context(quiet)) as builder:
        signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, chain, key, None))
        builder.sign(signer, Image.MIME[kind], io.BytesIO(plain.getvalue()), out)
    return out.getvalue()
