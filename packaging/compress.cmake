# Run by cpack on the files of the packages, before they are packed: what only Debian wants goes elsewhere; manual pages and
# changelogs are compressed, always with the same bytes.
if(CPACK_GENERATOR STREQUAL "RPM")
  file(GLOB debian
    ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/*/usr/share/doc/*/changelog.Debian
    ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/*/usr/share/lintian)
  if(debian)
    file(REMOVE_RECURSE ${debian})
  endif()
endif()

file(GLOB texts
  ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/*/usr/share/man/*/*
  ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/*/usr/share/doc/*/changelog
  ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/*/usr/share/doc/*/changelog.Debian)
if(texts)
  execute_process(COMMAND gzip -9nf ${texts} COMMAND_ERROR_IS_FATAL ANY)
endif()
