//! Enums whose values have names: in the database, on the wire or in the log.

/// Defines an enum with the name of each value.
macro_rules! named {
    ($(#[$doc:meta])* $visible:vis enum $type:ident {
        $($(#[$of_value:meta])* $value:ident = $name:literal,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $visible enum $type {
            $($(#[$of_value])* $value,)+
        }

        impl $type {
            /// Every value.
            $visible const ALL: [Self; [$($name),+].len()] = [$(Self::$value),+];

            /// The name.
            $visible const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $name,)+
                }
            }

            /// The value of this name.
            $visible fn parse(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.as_str() == name)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

pub(crate) use named;
