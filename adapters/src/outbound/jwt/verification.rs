//! The verification of signatures and audiences.

use jsonwebtoken::{Algorithm, DecodingKey, TokenData, Validation, errors::ErrorKind};
use serde::de::DeserializeOwned;

/// Returns the rules for tokens with this audience. The times are not among them: the library would read the machine's clock, and the
/// verifiers check the times by the clock of the port.
pub(super) fn validation(audience: &str) -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "aud"]);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation
}

/// The keys of accepted signatures.
pub(super) struct VerificationKeys {
    key: DecodingKey,
    /// The key of the previous secret. Tokens signed with it are still accepted.
    previous: Option<DecodingKey>,
}

impl VerificationKeys {
    pub(super) fn new(key: &[u8], previous: Option<&[u8]>) -> Self {
        Self { key: DecodingKey::from_secret(key), previous: previous.map(DecodingKey::from_secret) }
    }

    /// Returns the claims of a token with a valid signature and audience. The times are not checked. None if the token is not valid: the
    /// library's errors can quote parts of a token.
    pub(super) fn claims<C: DeserializeOwned>(&self, token: &str, validation: &Validation) -> Option<C> {
        let decode = |key| jsonwebtoken::decode::<C>(token, key, validation);
        let decoded = match (decode(&self.key), &self.previous) {
            (Err(error), Some(previous)) if *error.kind() == ErrorKind::InvalidSignature => decode(previous),
            (decoded, _) => decoded,
        };
        let TokenData { header, claims, .. } = decoded.ok()?;
        // This service knows no critical extension (RFC 7515, 4.1.11).
        header.crit.is_none().then_some(claims)
    }
}
