# qkv_unite(TARGET SIZE SOURCE...): the sources of one folder are compiled SIZE at a time, as one translation unit. Most
# of the time of a build goes into parsing headers and into making the same templates again. A name in an anonymous
# namespace must therefore be unique in its folder.
function(qkv_unite target size)
  foreach(source ${ARGN})
    get_filename_component(folder ${source} DIRECTORY)
    file(RELATIVE_PATH folder ${PROJECT_SOURCE_DIR} ${folder})
    string(MAKE_C_IDENTIFIER "${folder}" folder)
    math(EXPR count_${folder} "0${count_${folder}} + 1")
    math(EXPR group "(${count_${folder}} - 1) / ${size}")
    set_property(SOURCE ${source} PROPERTY UNITY_GROUP ${folder}_${group})
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
endfunction()
