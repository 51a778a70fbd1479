//! Charts as inline SVG that follow the page's colours, light or dark.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Stands for the page's text colour; no series uses it.
pub(crate) const INK: RGBColor = RGBColor(1, 1, 1);

/// Colours of backends: told apart by eyes that do not see all colours, on light and dark ground (after Okabe and Ito).
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(148, 103, 189),
    RGBColor(140, 140, 140),
];

/// The colour of the backend with this position.
pub(crate) fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

/// A colour as CSS writes it.
pub(crate) fn css(colour: RGBColor) -> String {
    format!("#{:02x}{:02x}{:02x}", colour.0, colour.1, colour.2)
}

/// Text of this size in the page's colour.
pub(crate) fn text(size: u32, horizontal: HPos) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK).pos(Pos::new(horizontal, VPos::Center))
}

/// Draws with plotters and makes the result scale with the page and follow its colours. `title` is for those who cannot see it.
pub(crate) fn svg<F>(title: &str, size: (u32, u32), draw: F) -> String
where
    F: FnOnce(&DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Result<(), Box<dyn std::error::Error>>,
{
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        if let Err(error) = draw(&area).and_then(|()| area.present().map_err(Into::into)) {
            return format!("<p>This chart could not be drawn: {}.</p>", escape(&error.to_string()));
        }
    }
    let (width, height) = size;
    let fixed = format!("<svg width=\"{width}\" height=\"{height}\"");
    let label = escape(title);
    text.replacen(&fixed, &format!("<svg role=\"img\" aria-label=\"{label}\""), 1)
        .replace("#010101", "currentColor")
}

/// Text as HTML writes it.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_follow_the_page() {
        let svg = svg("a \"title\"", (200, 100), |area| {
            area.draw(&Text::new("hello", (10, 10), text(12, HPos::Left)))?;
            Ok(())
        });
        assert!(svg.starts_with("<svg role=\"img\" aria-label=\"a &quot;title&quot;\""), "{svg}");
        assert!(svg.contains("currentColor") && !svg.contains("#010101") && svg.contains("viewBox"), "{svg}");
        assert_eq!(css(colour(0)), "#0072b2");
    }
}
