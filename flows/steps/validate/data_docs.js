// What Data Docs ask of jQuery and bootstrap-table, which a closed network does not reach: tables of the index, the filter "Failed Only", what unfolds.
class Found {
  constructor(elements) { this.elements = elements }
  each(work) { this.elements.forEach((element, index) => work(index, element)); return this }
  parent() { return new Found(this.elements.map(element => element.parentElement).filter(Boolean)) }
  fadeIn() { return this.each((_, element) => { element.hidden = false; element.style.display = '' }) }
  fadeOut() { return this.each((_, element) => { element.style.display = 'none' }) }
  ready(work) { document.addEventListener('DOMContentLoaded', work); return this }
  on() { return this }
  bootstrapTable(options) {
    if (typeof options !== 'object') return this
    const field = options.sortName, key = row => row[`_${field}_sort`] ?? row[field]
    const rows = [...options.data].sort((a, b) => (key(a) > key(b)) - (key(a) < key(b)))
    if (options.sortOrder === 'desc') rows.reverse()
    return this.each((_, table) => {
      const head = table.createTHead().insertRow(), body = table.createTBody()
      for (const column of options.columns) head.appendChild(document.createElement('th')).textContent = column.title
      for (const row of rows) {
        const line = body.insertRow()
        line.className = 'clickable-row'
        for (const column of options.columns) line.insertCell().innerHTML = row[column.field] ?? ''
        const link = line.querySelector('a') ?? document.createElement('a')
        link.href = row._table_row_link_path
        if (!link.isConnected) { const cell = line.cells[Math.min(1, line.cells.length - 1)]; link.append(...cell.childNodes); cell.append(link) }
      }
    })
  }
}
const $ = what => new Found(typeof what === 'string' ? [...document.querySelectorAll(what)] : [what])
document.addEventListener('click', event => {
  const toggle = event.target.closest('[data-toggle=collapse]')
  if (!toggle) return
  event.preventDefault()
  const target = document.getElementById((toggle.dataset.target ?? toggle.getAttribute('href') ?? '').slice(1))
  toggle.setAttribute('aria-expanded', String(target?.classList.toggle('show') ?? false))
})
