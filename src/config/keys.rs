//! The section `keys`.

use super::check::Check;
use super::{KeysConfig, Profile};
use crate::base::sealing::SealingKeys;
use crate::base::secret::Secret;
use crate::domain::keys::algorithm::UnknownAlgorithm;
use crate::domain::keys::{Algorithm, Algorithms, Pkcs11Config, Policy};

impl Check<'_> {
    pub(super) fn keys(&mut self) -> Option<KeysConfig> {
        let encryption_key = self.encryption_key();
        let directory = self.folder("keys.directory");
        let algorithms = self.algorithms();
        let pkcs11 = algorithms.as_ref().and_then(|algorithms| self.pkcs11(algorithms));
        let rsa_bits = self.number("keys.rsa_bits", 0, u32::MAX);
        let rotate_every = self.duration_or_off("keys.rotate_every");
        let publish_ahead = self.duration("keys.publish_ahead");
        let jwks_max_age = self.duration("keys.jwks_max_age");
        let policy =
            Policy::new(algorithms?, rsa_bits?, rotate_every?, publish_ahead?, jwks_max_age?);
        let policy = self.accept_policy("keys", policy);
        Some(KeysConfig {
            encryption_key: encryption_key?,
            directory: directory?,
            pkcs11: pkcs11?,
            policy: policy?,
        })
    }

    fn algorithms(&mut self) -> Option<Algorithms> {
        let default = self.text("keys.algorithm");
        let default = default.and_then(|name| self.accept("keys.algorithm", algorithm(&name)));
        let also = self.items("keys.also", algorithm);
        let by_audience = self.items("keys.audience_algorithms", |entry| {
            // An audience may itself contain an equals sign.
            let (audience, name) = entry
                .rsplit_once('=')
                .filter(|(audience, _)| !audience.trim().is_empty())
                .ok_or("must hold entries such as https://orders.example.com=ES256")?;
            Ok((audience.trim().to_owned(), algorithm(name.trim())?))
        });
        Some(Algorithms { default: default?, by_audience: by_audience?, also: also? })
    }

    fn pkcs11(&mut self, algorithms: &Algorithms) -> Option<Option<Pkcs11Config>> {
        let module = self.text("keys.pkcs11.module");
        let token_label = self.text("keys.pkcs11.token_label");
        let pin = self.text("keys.pkcs11.pin").map(Secret::new);
        let (module, token_label, pin) = (module?, token_label?, pin?);
        if module.is_empty() {
            return Some(None);
        }
        if !cfg!(feature = "pkcs11") {
            let problem = "needs a program that was built with the feature pkcs11";
            return self.refuse("keys.pkcs11.module", problem);
        }
        if algorithms.all().contains(&Algorithm::EdDsa) {
            let problem = "cannot be used with EdDSA: only RSA and P-256 keys are made on a token";
            return self.refuse("keys.pkcs11.module", problem);
        }
        if token_label.is_empty() {
            return self.refuse("keys.pkcs11.token_label", "must be the label of the token");
        }
        if pin.expose().is_empty() {
            let problem = "must be the PIN of the token's user, best in a file that \
                           SIGNET__KEYS__PKCS11__PIN_FILE names";
            return self.refuse("keys.pkcs11.pin", problem);
        }
        Some(Some(Pkcs11Config { module: module.into(), token_label, pin }))
    }

    fn encryption_key(&mut self) -> Option<Option<Secret<String>>> {
        let key = "keys.encryption_key";
        let hint = "32 bytes in base64, as made by `openssl rand -base64 32`; during a change \
                    several, the newest first";
        let text = match self.profile {
            Profile::Development => self.text(key)?,
            Profile::Production => self.required(key, hint)?,
        };
        if text.is_empty() {
            return Some(None);
        }
        let Some(keys) = SealingKeys::parse(&text) else {
            return self.refuse(key, format!("must be {hint}"));
        };
        if self.profile == Profile::Production && keys.newest().has_low_entropy() {
            let problem = "must not seal with a key that can be guessed: the first key has fewer \
                           than 16 distinct bytes, or is all printable text; put a new one before \
                           it, as made by `openssl rand -base64 32`, and keep the present one \
                           behind it, which still opens, until `signet keys rewrap` has run";
            return self.refuse(key, problem);
        }
        Some(Some(Secret::new(text)))
    }
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    name.parse().map_err(|unknown: UnknownAlgorithm| format!("{unknown}, not \"{name}\""))
}
