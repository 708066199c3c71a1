//! What a guardrail does beyond AWS, asked for by its tags, so that no SDK needs to know of it:
//!
//! | tag | values | without it |
//! |---|---|---|
//! | `bailiwick:screen-tools` | `on`: results of tools, tool definitions and arguments of tool calls are screened, too; `off` | `off`; `on` where the guardrail is enforced |
//! | `bailiwick:spotlight` | `on`: untrusted parts of a prompt are delimited before they go to the model, and the model is told what the marks mean; `off` | `off` |
//! | `bailiwick:hold-tools` | `on`: a tool call that follows untrusted text needs the caller's permission `bailiwick:CallTool`; `off` | `off` |
//! | `bailiwick:images` | `pass`: images go to the model unseen; `refuse`: a guarded call with an image is refused | `refuse` |
//!
//! Other values count as absent: they never switch a protection off.

/// Settings of one guardrail. `None`: its tags say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) screen_tools: Option<bool>,
    pub(crate) spotlight: bool,
    pub(crate) hold_tools: bool,
    pub(crate) pass_images: bool,
}

impl Settings {
    /// From the guardrail's tags.
    pub(crate) fn of(tags: &[(String, String)]) -> Self {
        let value = |name: &str| tags.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let switch = |name: &str| match value(name) {
            Some("on") => Some(true),
            Some("off") => Some(false),
            _ => None,
        };
        Self {
            screen_tools: switch("bailiwick:screen-tools"),
            spotlight: switch("bailiwick:spotlight").unwrap_or_default(),
            hold_tools: switch("bailiwick:hold-tools").unwrap_or_default(),
            pass_images: value("bailiwick:images") == Some("pass"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_values_switch() {
        let of = |key: &str, value: &str| Settings::of(&[(key.to_owned(), value.to_owned())]);
        assert_eq!(of("bailiwick:screen-tools", "off").screen_tools, Some(false));
        assert_eq!(of("bailiwick:screen-tools", "Off").screen_tools, None);
        assert!(of("bailiwick:images", "pass").pass_images && !of("bailiwick:images", "yes").pass_images);
        assert!(of("bailiwick:hold-tools", "on").hold_tools && of("bailiwick:spotlight", "on").spotlight);
        assert_eq!(Settings::of(&[]), Settings::default());
    }
}
