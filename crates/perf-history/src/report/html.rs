//! Text that is safe in HTML, whoever gave it.

use std::fmt;

/// Text with everything escaped that would mean something in HTML, in an element as well as in an attribute. Control
/// characters, which HTML does not allow, are replaced.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "a text is all that it is")]
pub struct Text<'a>(pub &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c if c.is_control() => f.write_str("\u{fffd}")?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

const STYLE: &str = include_str!("style.css");

/// A whole page that needs nothing else and may load nothing: no script, no font, no network. It follows the reader's light
/// or dark theme and fits narrow screens.
///
/// `title` is escaped here. `style` is added to the style that all reports share; `header`, `main` and `footer` are HTML, and
/// whoever makes them escapes what they hold.
#[must_use]
pub fn document(title: &str, style: &str, header: &str, main: &str, footer: &str) -> String {
    let title = Text(title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\"><meta \
         http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
         'unsafe-inline'\"><title>{title}</title><style>{STYLE}{style}</style></head><body><header><h1>{title}</h1>{header}\
         </header><main>{main}</main><footer>{footer}</footer></body></html>\n"
    )
}

/// A table; `number` columns stand to the right. Cells are HTML, and whoever makes them escapes what they hold.
#[must_use]
pub fn table(caption: &str, heads: &[(&str, bool)], rows: &[Vec<String>]) -> String {
    let mut html = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table><caption>{0}</caption><thead><tr>",
        Text(caption)
    );
    for (head, number) in heads {
        let class = if *number { " class=\"n\"" } else { "" };
        html += &format!("<th scope=\"col\"{class}>{}</th>", Text(head));
    }
    html += "</tr></thead><tbody>";
    for row in rows {
        html += "<tr>";
        for (at, cell) in row.iter().enumerate() {
            let class = if heads.get(at).is_some_and(|head| head.1) { " class=\"n\"" } else { "" };
            html += &match at {
                0 => format!("<th scope=\"row\"{class}>{cell}</th>"),
                _ => format!("<td{class}>{cell}</td>"),
            };
        }
        html += "</tr>";
    }
    html + "</tbody></table></div>"
}

/// A probability as a bar with its words.
pub(super) fn meter(confidence: f64) -> String {
    let words = crate::analysis::words::sure(confidence);
    format!(
        "<span class=\"meter\"><span class=\"bar\" aria-hidden=\"true\"><i style=\"width:{:.0}%\"></i></span>{} sure</span>",
        100.0 * confidence.clamp(0.0, 1.0),
        Text(&words)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_means_something_is_left() {
        let text = Text("<script>alert('1')</script> & \"x\" \u{0}").to_string();
        assert_eq!(text, "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;x&quot; \u{fffd}");
    }
}
