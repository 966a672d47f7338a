module.exports = {
  // The usual numbers are made from absolute paths; the same sources give the same bytes in every folder.
  optimization: { moduleIds: 'named' }
};
