//! Text that is safe in HTML, whoever gave it.

use std::fmt;

/// Text with everything escaped that would mean something in HTML, in an element as well as in an attribute. Control
/// characters, which HTML does not allow, are replaced.
pub(super) struct Text<'a>(pub(super) &'a str);

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

/// A table; `number` columns stand to the right. Cells are HTML, and whoever makes them escapes what they hold.
pub(super) fn table(caption: &str, heads: &[(&str, bool)], rows: &[Vec<String>]) -> String {
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
