"""A report's page: reached by the address, as by a bookmark."""

from dataclasses import dataclass

from playwright.sync_api import Download, Locator, Page, expect


@dataclass(frozen=True)
class Report:
    """A report of one site and period.

    Args:
        page: of somebody who has logged in.
        site: idsite.
        period: day, week, month, year or range.
        date: YYYY-MM-DD, or two of them with a comma.
    """

    page: Page
    site: int
    period: str
    date: str

    def open(self, category: str, subcategory: str) -> None:
        """Go to a report, by the names of its menu entries in Matomo's code."""
        where = f"idSite={self.site}&period={self.period}&date={self.date}"
        self.page.goto(
            f"index.php?module=CoreHome&action=index&{where}"
            f"#?{where}&category={category}&subcategory={subcategory}"
        )

    def widget(self, title: str) -> Locator:
        heading = self.page.get_by_role("heading", name=title, exact=True)
        return self.page.locator(".matomo-widget").filter(has=heading).first

    @property
    def graph(self) -> Locator:
        return self.page.locator(".jqplot-target canvas").first

    @property
    def table(self) -> Locator:
        return self.page.locator(".dataTable table").first

    def rows(self, *columns: str) -> dict[str, tuple[str, ...]]:
        """Return the table's cells of `columns`, by the first cell of each row."""
        expect(self.table).to_be_visible()
        titles = [
            title.strip("▼ \n").casefold()
            for title in self.table.locator("thead th").all_inner_texts()
        ]
        texts = self.table.locator("tbody tr").all_inner_texts()
        rows = [[cell.strip() for cell in text.split("\t")] for text in texts]
        return {
            row[0]: tuple(row[titles.index(column.casefold())] for column in columns)
            for row in rows
        }

    def export(self, form: str) -> Download:
        """Export the table, as CSV for instance."""
        self.page.get_by_title("Export this dataset in other formats").first.click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_text(form, exact=True).click()
        with self.page.expect_download() as download:
            dialog.get_by_role("link", name="Export", exact=True).click()
        return download.value
