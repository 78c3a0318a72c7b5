//! The section `keys`.

use super::check::Check;
use super::{KeysConfig, Profile};
use crate::keys::{Algorithm, Algorithms, Policy};
use crate::secret::{SealingKeys, Secret};

impl Check<'_> {
    pub(super) fn keys(&mut self) -> Option<KeysConfig> {
        let encryption_key = self.encryption_key();
        let directory = self.text("keys.directory").filter(|directory| {
            let named = !directory.is_empty();
            if !named {
                self.problem("keys.directory", "must name a folder");
            }
            named
        });
        let algorithms = self.algorithms();
        let rsa_bits = self.number("keys.rsa_bits", 0, u32::MAX);
        let rotate_every = self.duration_or_off("keys.rotate_every");
        let publish_ahead = self.duration("keys.publish_ahead");
        let jwks_max_age = self.duration("keys.jwks_max_age");
        let policy =
            Policy::new(algorithms?, rsa_bits?, rotate_every?, publish_ahead?, jwks_max_age?);
        let policy = self.accept_policy("keys", policy);
        Some(KeysConfig {
            encryption_key: encryption_key?,
            directory: directory?.into(),
            policy: policy?,
        })
    }

    fn algorithms(&mut self) -> Option<Algorithms> {
        let default = self.text("keys.algorithm");
        let default = default.and_then(|name| self.accept("keys.algorithm", algorithm(&name)));
        let also = self.items("keys.also", algorithm);
        let by_audience = self.items("keys.audience_algorithms", |entry| {
            // An audience may itself hold an equals sign.
            let (audience, name) = entry
                .rsplit_once('=')
                .filter(|(audience, _)| !audience.trim().is_empty())
                .ok_or("must hold entries such as https://orders.example.com=ES256")?;
            Ok((audience.trim().to_owned(), algorithm(name.trim())?))
        });
        Some(Algorithms { default: default?, by_audience: by_audience?, also: also? })
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
        if SealingKeys::parse(&text).is_none() {
            self.problem(key, format!("must be {hint}"));
            return None;
        }
        Some(Some(Secret::new(text)))
    }
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    let names = || Algorithm::ALL.map(Algorithm::as_str).join(", ");
    Algorithm::parse(name).ok_or_else(|| format!("must be one of {}, not \"{name}\"", names()))
}
