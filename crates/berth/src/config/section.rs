//! Declares a section once: its struct, its defaults, and the rows of the reference.

/// What the reference tells of a section.
pub struct Section {
    pub key: &'static str,
    pub about: &'static str,
    pub settings: &'static [Setting],
}

impl Section {
    /// What is set of it in all that is set.
    pub fn in_force<'v>(&self, all: &'v serde_json::Value) -> &'v serde_json::Value {
        self.key.split('.').fold(all, |value, part| &value[part])
    }
}

pub struct Setting {
    pub key: &'static str,
    pub about: &'static str,
}

macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $name:ident in $section:literal {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $name {
            pub(super) const SECTION: crate::config::section::Section = crate::config::section::Section {
                key: $section,
                about: concat!($($about),+),
                settings: &[
                    $( crate::config::section::Setting { key: stringify!($field), about: concat!($($doc),+) }, )+
                ],
            };
        }
    };
}

pub(super) use section;
