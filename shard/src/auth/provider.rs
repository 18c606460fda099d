//! The cryptography behind tokens: ring, which TLS uses too.

use jsonwebtoken::DecodingKeyKind;
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result, new_error};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use ring::{error, hmac};
use signature::{Error, Signer, Verifier};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    // They are for making sets of keys.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes it what the library uses. Whoever comes first does it for all.
pub(super) fn install() {
    let _ = PROVIDER.install_default();
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    is_supported(*algorithm, key.family() == algorithm.family())?;
    Ok(Box::new(RingVerifier {
        algorithm: *algorithm,
        key: key.clone(),
    }))
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    is_supported(*algorithm, key.family() == algorithm.family())?;
    Ok(Box::new(RingSigner {
        algorithm: *algorithm,
        key: key.clone(),
    }))
}

fn is_supported(algorithm: Algorithm, is_key_for_it: bool) -> Result<()> {
    let supported = super::Algorithm::ALL.map(super::Algorithm::library);
    if is_key_for_it && supported.contains(&algorithm) {
        Ok(())
    } else {
        Err(new_error(ErrorKind::InvalidAlgorithm))
    }
}

struct RingVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        verify(self.algorithm, self.key.kind(), message, signature).map_err(|_| Error::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

fn verify(
    algorithm: Algorithm,
    key: &DecodingKeyKind,
    message: &[u8],
    signature: &[u8],
) -> std::result::Result<(), error::Unspecified> {
    use DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
    match (algorithm, key) {
        (Algorithm::HS256, SecretOrDer(secret)) => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            hmac::verify(&key, message, signature)
        }
        (Algorithm::RS256, SecretOrDer(key)) => {
            let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key);
            key.verify(message, signature)
        }
        (Algorithm::RS256, RsaModulusExponent { n, e }) => {
            let key = RsaPublicKeyComponents { n, e };
            key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
        }
        (Algorithm::ES256, SecretOrDer(key)) => {
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key);
            key.verify(message, signature)
        }
        (Algorithm::EdDSA, SecretOrDer(key)) => {
            UnparsedPublicKey::new(&ED25519, key).verify(message, signature)
        }
        _ => Err(error::Unspecified),
    }
}

struct RingSigner {
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        sign(self.algorithm, self.key.as_bytes(), message).map_err(|_| Error::new())
    }
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

fn sign(
    algorithm: Algorithm,
    key: &[u8],
    message: &[u8],
) -> std::result::Result<Vec<u8>, error::Unspecified> {
    let unusable = |_: error::KeyRejected| error::Unspecified;
    let random = SystemRandom::new();
    match algorithm {
        Algorithm::HS256 => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            Ok(hmac::sign(&key, message).as_ref().to_vec())
        }
        Algorithm::RS256 => {
            let key = RsaKeyPair::from_der(key).map_err(unusable)?;
            let mut signature = vec![0; key.public().modulus_len()];
            key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
            Ok(signature)
        }
        Algorithm::ES256 => {
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let key = EcdsaKeyPair::from_pkcs8(algorithm, key, &random).map_err(unusable)?;
            Ok(key.sign(&random, message)?.as_ref().to_vec())
        }
        Algorithm::EdDSA => {
            // Other tools leave the public key out.
            let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key).map_err(unusable)?;
            Ok(key.sign(message).as_ref().to_vec())
        }
        _ => Err(error::Unspecified),
    }
}
