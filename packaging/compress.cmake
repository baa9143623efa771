# Run by cpack on the files of the packages, before they are packed: removes the files that only Debian wants from RPM
# packages; compresses manual pages and changelogs, always to the same bytes.
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
